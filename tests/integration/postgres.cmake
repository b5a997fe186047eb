add_library(coord_pg_fixture STATIC ${CMAKE_SOURCE_DIR}/tests/integration/pg_fixture.c)
target_compile_options(coord_pg_fixture PRIVATE "SHELL:-iquote ${CMAKE_SOURCE_DIR}")
target_link_libraries(coord_pg_fixture PUBLIC PkgConfig::PQ PkgConfig::UV)

coord_test(test_postgres integration SOURCES ${CMAKE_SOURCE_DIR}/tests/integration/test_postgres.c
           LINKS coord_postgres coord_pg_fixture)

coord_test(test_probe_postgres integration SOURCES ${CMAKE_SOURCE_DIR}/tests/integration/test_probe_postgres.c
           LINKS coord_probe coord_pg_fixture)

coord_test(test_pg integration SOURCES ${CMAKE_SOURCE_DIR}/tests/integration/test_pg.c LINKS coord_io_pg coord_pg_fixture)
