-- For whom and with which values of the sync's parameters a run was made.

-- object id of the user; null: as the application
ALTER TABLE run ADD COLUMN owner text;
-- an object of texts; null: none
ALTER TABLE run ADD COLUMN params json;
