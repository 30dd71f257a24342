-- A report is a task of type `report`: its text, and the addresses of the pictures in it.
ALTER TABLE tasks ADD COLUMN report TEXT;
ALTER TABLE tasks ADD COLUMN report_assets TEXT;
