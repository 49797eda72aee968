//! One file per command.

pub(crate) mod alerts;
mod apply;
pub(crate) mod backup;
mod chains;
mod check;
mod definitions;
mod demo;
mod held;
mod init;
mod occurrences;
mod parked;
mod pause;
mod plan;
pub(crate) mod report;
mod reset;
mod run;
mod runs;
mod schedule;
mod schedules;
mod schema;
mod serve;
mod show;
pub(crate) mod sim;
mod status;
mod tokens;
mod verify;
mod verify_tables;
mod whom;

use crate::{
    args::{Cli, Command},
    exit::{Exit, Failure},
    signals::{Cancel, unless_cancelled},
};

/// Does what was typed. `run`, `verify`, `serve`, `sim` and `demo` end by themselves when they are cancelled; the others are dropped.
pub(crate) async fn run(cli: Cli, cancel: Cancel) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Init(args) => init::run(&global, &args),
        Command::Schema(args) => schema::run(&args),
        Command::Check(args) => Box::pin(unless_cancelled(&cancel, check::run(&global, &args))).await,
        Command::Plan(args) => Box::pin(unless_cancelled(&cancel, plan::run(&global, &args))).await,
        Command::Run(args) => Box::pin(run::run(&global, &args, &cancel)).await,
        Command::Verify(args) => Box::pin(verify::run(&global, &args, &cancel)).await,
        Command::Status(args) => unless_cancelled(&cancel, status::run(&global, &args)).await,
        Command::Schedules(args) => schedules::run(&global, &args),
        Command::Runs(args) => unless_cancelled(&cancel, runs::run(&global, &args)).await,
        Command::Show(args) => unless_cancelled(&cancel, show::run(&global, &args)).await,
        Command::Parked(command) => unless_cancelled(&cancel, parked::run(&global, command)).await,
        Command::Held(command) => unless_cancelled(&cancel, held::run(&global, command)).await,
        Command::Reset(args) => unless_cancelled(&cancel, reset::run(&global, &args)).await,
        Command::Backup(args) => Box::pin(unless_cancelled(&cancel, backup::run(&global, &args))).await,
        Command::Restore(args) => {
            Box::pin(unless_cancelled(&cancel, backup::run_restore(&global, &args))).await
        }
        Command::Serve(args) => Box::pin(serve::run(&global, &args, &cancel)).await,
        Command::Pause(args) => unless_cancelled(&cancel, pause::run(&global, &args, true)).await,
        Command::Unpause(args) => unless_cancelled(&cancel, pause::run(&global, &args, false)).await,
        Command::Chains(command) => unless_cancelled(&cancel, chains::run(&global, command)).await,
        Command::Occurrences(command) => unless_cancelled(&cancel, occurrences::run(&global, command)).await,
        Command::Apply(args) => unless_cancelled(&cancel, apply::run(&global, &args)).await,
        Command::Definitions(command) => unless_cancelled(&cancel, definitions::run(&global, command)).await,
        Command::Report(args) => Box::pin(unless_cancelled(&cancel, report::run(&global, &args))).await,
        Command::Alerts(command) => Box::pin(unless_cancelled(&cancel, alerts::run(&global, command))).await,
        Command::Tokens(command) => unless_cancelled(&cancel, tokens::run(&global, command)).await,
        Command::Sim(args) => Box::pin(sim::run(&args, &cancel)).await,
        Command::Demo(args) => Box::pin(unless_cancelled(&cancel, demo::run(&args))).await,
    }
}
