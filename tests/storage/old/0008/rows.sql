-- Rows are what they were; only an index is another.
select;
