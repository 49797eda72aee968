-- The contract management system: eight tables. MariaDB stands in for Sybase.

set names utf8mb4;

create table sites (
    site_id    int unsigned not null primary key,
    name       varchar(100) not null,
    latitude   decimal(9,6),
    longitude  decimal(9,6),
    is_remote  tinyint(1) not null default 0,
    updated_at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
    key (updated_at)
) charset utf8mb4;

create table contacts (
    contact_id bigint unsigned not null primary key,
    site_id    int unsigned not null,
    full_name  varchar(200) not null,
    email      varchar(200),
    born_on    date,
    greeting   text,
    updated_at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
    key (updated_at)
) charset utf8mb4;

create table assets (
    asset_tag    varchar(20) character set ascii collate ascii_bin not null primary key,
    site_id      int unsigned not null,
    model        varchar(100) not null,
    purchase_eur decimal(14,2),
    book_value   decimal(24,8),
    hours_run    double,
    installed_at datetime(3),
    is_leased    tinyint(1) not null,
    fingerprint  binary(16),
    updated_at   timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
    key (updated_at)
) charset utf8mb4;

create table contracts (
    contract_no int not null primary key,
    site_id     int unsigned not null,
    title       varchar(200) not null,
    starts_on   date not null,
    ends_on     date,
    monthly_fee decimal(12,2) not null,
    terms       json,
    updated_at  datetime(6) not null default current_timestamp(6) on update current_timestamp(6),
    key (updated_at)
) charset utf8mb4;

create table contract_lines (
    contract_no int not null,
    line_no     smallint not null,
    service     varchar(100) not null,
    units       decimal(18,6) not null,
    updated_at  timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
    primary key (contract_no, line_no),
    key (updated_at)
) charset utf8mb4;

create table documents (
    document_id bigint not null primary key,
    contract_no int not null,
    file_name   varchar(255) not null,
    size_bytes  bigint unsigned not null,
    sha256      binary(32) not null,
    preview     varbinary(64),
    updated_at  timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
    key (updated_at)
) charset utf8mb4;

-- Rows are not deleted; a status says that they are.
create table tickets (
    ticket_id  bigint not null primary key,
    site_id    int unsigned not null,
    status     varchar(10) not null,
    priority   tinyint not null,
    subject    varchar(200) not null,
    opened_at  timestamp(6) not null,
    closed_at  timestamp(6) null,
    updated_at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
    key (updated_at)
) charset utf8mb4;

create table ticket_notes (
    ticket_id  bigint not null,
    note_no    int not null,
    author     varchar(50) not null,
    note       mediumtext,
    updated_at timestamp(6) not null default current_timestamp(6) on update current_timestamp(6),
    primary key (ticket_id, note_no),
    key (updated_at)
) charset utf8mb4;
