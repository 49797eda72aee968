-- What happens in the ERP within an hour: for the second run.

begin;
-- changed
update customers set credit_limit = credit_limit + 0.01 where customer_no in (3, 4, 5);
update customers set deleted_at = now() where customer_no in (10, 11);                            -- a tombstone
update suppliers set name = 'Nordstahl Neu' where supplier_no = 4;                                -- also in its orders
update suppliers set iban = 'XX99' where supplier_no = 5;                                         -- a column that is not copied
update item_groups set margin_floor = 13.00 where group_code = 'MET';
update items set list_price = list_price * 1.02, updated_by = 'price list 2026' where item_no % 20 = 0;
update stock_levels set on_hand = on_hand - 1 where warehouse_id = 1 and item_no < 100;
update sales_orders set status = 'Shipped' where order_no between 1 and 8 and status = 'Open';
update sales_order_lines set is_shipped = true where order_no between 1 and 8;
update purchase_order_lines set received = quantity where po_no in (1, 4, 7);
update invoices set open_amount = 0, status = 'Paid' where invoice_no in (3, 6, 9);
update gl_accounts set name = 'Account seven' where account_no = '001350';
update exchange_rates set rate = 1.5 where currency = 'USD' and rate_date = date '2025-12-31';    -- in the overlap of a week
update exchange_rates set rate = 9.5 where currency = 'SEK' and rate_date = date '2025-03-01';    -- not in it: Mass sees it
-- new
insert into customers (customer_no, name, city, country, external_id) values
    (1001, 'Żółw & Córki', 'Gdańsk', 'PL', md5('customer 1001')::uuid);
insert into warehouses values (6, 'Pop-up 🎪', 'Brno', '2026-01-15', '10:00', false);
insert into stock_levels (warehouse_id, item_no, on_hand) values (6, 1, 12), (6, 2, 0);
insert into sales_orders (order_no, customer_no, order_date, status, currency, net_amount) values
    (9001, 1001, '2026-01-20', 'Open', 'EUR', 12000.00);
insert into sales_order_lines (order_no, line_no, item_no, quantity, unit_price, discount_percent) values
    (9001, 1, 1, 3, 1000.0000, 0), (9001, 2, 2, 1.5, 6666.6667, 10);
insert into invoices (invoice_no, order_no, customer_no, issued_on, due_on, net_amount, vat_amount, open_amount, status) values
    (9001, 9001, 1001, '2026-01-20', '2026-02-19', 12000.00, 2280.00, 12000.00, 'Open');
insert into payments values (901, 3, now(), 237.57, 'transfer', null), (902, 6, now(), 475.14, 'card', 'ref 902');
insert into exchange_rates values ('USD', '2026-01-02', 1.04, 'central bank'), ('CHF', '2026-01-02', 0.94, 'central bank');
-- gone: an hourly run cannot see it where there is no tombstone, the Mass run does
delete from stock_levels where warehouse_id = 2 and item_no in (2, 4);
delete from sales_orders where order_no in (12, 16);
delete from purchase_orders where po_no = 50;
delete from gl_accounts where account_no = '005500';
commit;
