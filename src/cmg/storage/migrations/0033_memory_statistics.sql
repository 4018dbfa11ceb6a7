-- Plans of searches are kept until the tables' statistics are taken again. Those of a table of a few rows say that going
-- through all of it is as quick as any index, and a plan made by them is kept while the rows become a million.
ALTER TABLE memory_users SET (autovacuum_analyze_threshold = 1000);
ALTER TABLE memory_threads SET (autovacuum_analyze_threshold = 1000);
ALTER TABLE memory_turns SET (autovacuum_analyze_threshold = 1000);
ALTER TABLE memory_facts SET (autovacuum_analyze_threshold = 1000);
ALTER TABLE memory_vectors SET (autovacuum_analyze_threshold = 1000);
