coord_test(test_postgres_parts unit SOURCES ${CMAKE_SOURCE_DIR}/tests/unit/test_postgres_parts.c LINKS coord_postgres)
