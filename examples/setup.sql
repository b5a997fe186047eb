-- Once, on the primary, as a superuser. `coord` looks, writes its canary, severs and promotes.
CREATE ROLE coord LOGIN SUPERUSER PASSWORD 'change me';
