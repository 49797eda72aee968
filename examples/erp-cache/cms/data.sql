-- Some 5,000 records of the contract management system, the same ones every time.

set names utf8mb4;
set time_zone = '+00:00';

insert into sites
select seq, concat(elt(1 + seq % 4, 'Werk Süd', 'Óbuda', 'Malmö hamn', '札幌'), ' ', seq),
    if(seq % 6 = 0, null, 40 + seq / 7), if(seq % 6 = 0, null, -10 + seq / 3), seq % 5 = 0,
    '2025-05-01 00:00:00' + interval seq minute
from seq_1_to_60;

insert into contacts
select seq, 1 + seq % 60, concat(elt(1 + seq % 5, 'Zoë Åkerlund', 'Tadeusz Żak', '山田 花子', 'Siobhán Ní Dhálaigh', 'José Ñáñez'), ' ', seq),
    if(seq % 4 = 0, null, concat('contact', seq, '@cms.example')), if(seq % 3 = 0, null, '1950-02-28' + interval seq * 31 day),
    elt(1 + seq % 4, null, '', 'Hello 👋🏽', 'Line one\nline two\ttab "quoted" \\ backslash'),
    '2025-05-02 00:00:00.000001' + interval seq second
from seq_1_to_500;

insert into assets
select concat('A-', lpad(seq, 6, '0')), 1 + seq % 60, concat('Pump ', seq % 40, ' µ'),
    if(seq % 8 = 0, null, seq * 7919 % 9000000 / 100), seq * 104729 % 1000000007 / 100000000, seq * 1.25,
    if(seq % 9 = 0, null, '2020-03-29 02:30:00.125' + interval seq hour), seq % 3 = 0, unhex(md5(seq)),
    '2025-05-03 00:00:00' + interval seq * 1000001 microsecond
from seq_1_to_700;

insert into contracts
select seq, 1 + seq % 60, concat('Wartung §', seq, ' “premium”'), '2022-01-01' + interval seq day,
    if(seq % 4 = 0, null, '2027-01-01' + interval seq day), seq * 7919 % 500000 / 100,
    if(seq % 5 = 0, null, json_object('renewal', elt(1 + seq % 2, 'auto', 'manual'), 'notice_days', 30 * (1 + seq % 3))),
    '2025-05-04 00:00:00.5' + interval seq minute
from seq_1_to_200;

insert into contract_lines
select c.seq, l.seq, elt(l.seq, 'inspection', 'repair', 'spare parts', 'on call'), c.seq * l.seq / 7,
    '2025-05-05 00:00:00' + interval c.seq minute
from seq_1_to_200 c, seq_1_to_4 l where l.seq <= 1 + c.seq % 4;

insert into documents
select seq, 1 + seq % 200, concat('scan ', seq, ' – käufer.pdf'), seq * 1048576 + 9007199254740992, unhex(sha2(seq, 256)),
    elt(1 + seq % 3, null, '', unhex('255044462d00ff')), '2025-05-06 00:00:00' + interval seq minute
from seq_1_to_600;

insert into tickets
select seq, 1 + seq % 60, elt(1 + seq % 10, 'Open', 'Open', 'Waiting', 'Closed', 'Closed', 'Open', 'Closed', 'Deleted', 'Closed', 'D'),
    1 + seq % 4, concat('Leck an Ventil ', seq), '2025-05-07 00:00:00' + interval seq minute,
    if(seq % 10 in (3, 4, 6, 8), '2025-05-08 00:00:00' + interval seq minute, null),
    '2025-05-09 00:00:00' + interval seq minute
from seq_1_to_800;

insert into ticket_notes
select t.seq, n.seq, elt(1 + t.seq % 3, 'ann', 'børge', 'chris'),
    if(t.seq % 13 = 0, null, concat('Note ', n.seq, ' — ', repeat('längerer Text, ', t.seq % 9))),
    '2025-05-10 00:00:00' + interval t.seq minute
from seq_1_to_800 t, seq_1_to_3 n where n.seq <= 1 + t.seq % 3;
