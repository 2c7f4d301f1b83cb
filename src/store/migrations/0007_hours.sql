-- Which hours of the policy held before, where nothing but these has changed: what they do not decide is not withdrawn because of them.
ALTER TABLE to_plan ADD COLUMN hours TEXT;
