-- What happened in the contract management system up to a minute ago: for the second run.

set names utf8mb4;
set time_zone = '+00:00';
set @then = now(6) - interval 1 minute;

start transaction;
-- changed
update sites set name = 'Werk Süd (Halle 4)', updated_at = @then where site_id = 4;
update contacts set greeting = 'Grüezi 🇨🇭', updated_at = @then where contact_id between 1 and 20;
update assets set book_value = book_value / 2, updated_at = @then where asset_tag in ('A-000001', 'A-000700');
update contracts set monthly_fee = monthly_fee + 0.01, updated_at = convert_tz(@then, '+00:00', @@global.time_zone)
where contract_no % 50 = 0;
update contract_lines set units = 0.000001, updated_at = @then where contract_no = 8;
update documents set preview = unhex('00'), updated_at = @then where document_id <= 5;
update tickets set status = 'Closed', closed_at = @then, updated_at = @then where ticket_id in (11, 21);
update tickets set status = 'Deleted', updated_at = @then where ticket_id in (31, 41, 51);        -- tombstones
update ticket_notes set note = 'solved ✅', updated_at = @then where ticket_id in (11, 21) and note_no = 1;
-- new
insert into sites values (61, 'Zürich', 47.376900, 8.541700, 0, @then);
insert into contacts values (18446744073709551615, 61, 'The last one', null, null, null, @then);
insert into tickets values (801, 61, 'Open', 1, 'Neu', @then, null, @then);
insert into ticket_notes values (801, 1, 'ann', 'first', @then);
-- gone: only a run that reads everything sees it
delete from contacts where contact_id in (100, 200);
delete from contracts where contract_no in (7, 14);
delete from contract_lines where contract_no in (7, 14);
delete from documents where document_id = 600;
commit;
