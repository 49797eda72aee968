-- The ERP: fourteen tables, as an order-processing system keeps them. PostgreSQL stands in for Oracle.

create function touch() returns trigger language plpgsql as $$
begin
    -- a stamp that a statement gives is kept; every other change gets the time of its transaction
    if new.updated_at is not distinct from old.updated_at then
        new.updated_at := now();
    end if;
    return new;
end
$$;

-- ---- master data

-- Customers are never deleted at once: `deleted_at` is set first, and a clean-up removes the row some day.
create table customers (
    customer_no    bigint primary key,
    name           text not null,
    legal_form     text,
    street         text,
    postal_code    varchar(10),
    city           text not null,
    country        varchar(2) not null,
    vat_id         varchar(20) unique,
    credit_limit   numeric(14,2) not null default 0,
    payment_days   smallint not null default 30,
    is_blocked     boolean not null default false,
    notes          text,
    external_id    uuid not null,
    customer_since date,
    deleted_at     timestamptz,
    updated_at     timestamptz not null default now()
);

create table suppliers (
    supplier_no  integer primary key,
    name         text not null,
    contact      text,
    iban         text,               -- stays in the ERP: the sync does not name it
    bank_note    text,               -- likewise
    city         text,
    country      varchar(2) not null,
    rating       numeric(3,1),
    is_preferred boolean not null default false,
    updated_at   timestamptz not null default now()
);

-- A small tree without a cursor: it is read as a whole every time.
create table item_groups (
    group_code   varchar(8) primary key,
    parent_code  varchar(8) references item_groups,
    name         text not null,
    margin_floor numeric(5,2)
);

-- A wide one.
create table items (
    item_no              integer primary key,
    group_code           varchar(8) not null references item_groups,
    sku                  text not null unique,
    ean                  varchar(13),
    name                 text not null,
    name_short           varchar(40),
    description          text,
    unit                 varchar(5) not null,
    units_per_pack       integer,
    list_price           numeric(12,4) not null,
    standard_cost        numeric(16,6),
    last_cost            numeric(16,6),
    currency             varchar(3) not null,
    vat_rate             numeric(4,2) not null,
    weight_kg            numeric(10,3),
    length_mm            integer,
    width_mm             integer,
    height_mm            integer,
    volume_l             numeric(12,4),
    origin_country       varchar(2),
    customs_code         varchar(11),
    abc_class            varchar(1),
    reorder_point        integer,
    reorder_quantity     integer,
    lead_time_days       smallint,
    shelf_life_days      smallint,
    serial_required      boolean not null default false,
    batch_required       boolean not null default false,
    hazardous            boolean not null default false,
    is_active            boolean not null default true,
    discontinued_on      date,
    attributes           jsonb not null default '{}',
    created_at           timestamptz not null,
    created_by           text not null,
    updated_at           timestamptz not null default now(),
    updated_by           text
);

create table warehouses (
    warehouse_id smallint primary key,
    name         text not null,
    city         text not null,
    opened_on    date not null,
    opens_at     time,
    is_bonded    boolean not null
);

-- A key of two columns.
create table stock_levels (
    warehouse_id smallint not null references warehouses,
    item_no      integer not null references items,
    on_hand      integer not null,
    reserved     integer not null default 0,
    counted_at   timestamp,          -- the wall clock of the warehouse
    updated_at   timestamptz not null default now(),
    primary key (warehouse_id, item_no)
);

-- ---- documents

create table sales_orders (
    order_no     bigint primary key,
    customer_no  bigint not null,
    order_date   date not null,
    requested_on date,
    status       text not null,
    currency     varchar(3) not null,
    net_amount   numeric(14,2) not null,
    reference    text,
    updated_at   timestamptz not null default now()
);

create table sales_order_lines (
    order_no         bigint not null references sales_orders on delete cascade,
    line_no          smallint not null,
    item_no          integer not null,
    quantity         numeric(12,3) not null,
    unit_price       numeric(12,4) not null,
    discount_percent numeric(5,2) not null default 0,
    is_shipped       boolean not null default false,
    updated_at       timestamptz not null default now(),
    primary key (order_no, line_no)
);

create table purchase_orders (
    po_no       bigint primary key,
    supplier_no integer not null references suppliers,
    ordered_on  date not null,
    expected_on date,
    status      text not null,
    net_amount  numeric(14,2) not null,
    updated_at  timestamptz not null default now()
);

create table purchase_order_lines (
    po_no      bigint not null references purchase_orders on delete cascade,
    line_no    smallint not null,
    item_no    integer not null,
    quantity   numeric(12,3) not null,
    received   numeric(12,3) not null default 0,
    unit_cost  numeric(16,6) not null,
    updated_at timestamptz not null default now(),
    primary key (po_no, line_no)
);

create table invoices (
    invoice_no  bigint primary key,
    order_no    bigint not null,
    customer_no bigint not null,
    issued_on   date not null,
    due_on      date not null,
    net_amount  numeric(14,2) not null,
    vat_amount  numeric(14,2) not null,
    open_amount numeric(14,2) not null,
    status      text not null,
    updated_at  timestamptz not null default now()
);

-- A journal: rows are added and never changed, so its number is its cursor.
create table payments (
    payment_no bigint primary key,
    invoice_no bigint not null,
    paid_at    timestamptz not null,
    amount     numeric(14,2) not null,
    method     text not null,
    bank_ref   text
);

-- ---- accounting

create table gl_accounts (
    account_no varchar(10) primary key,
    name       text not null,
    kind       text not null,
    is_active  boolean not null default true
);

create table exchange_rates (
    currency  varchar(3) not null,
    rate_date date not null,
    rate      numeric(18,8) not null,
    source    text not null,
    primary key (currency, rate_date)
);

-- The cursors: incremental runs read by them, so each has an index, and the database itself keeps them up to date.
do $$
declare
    name text;
begin
    foreach name in array array['customers', 'suppliers', 'items', 'stock_levels', 'sales_orders', 'sales_order_lines',
                                'purchase_orders', 'purchase_order_lines', 'invoices'] loop
        execute format('create index on %I (updated_at)', name);
        execute format('create trigger touch before update on %I for each row execute function touch()', name);
    end loop;
end
$$;
create index on exchange_rates (rate_date);
