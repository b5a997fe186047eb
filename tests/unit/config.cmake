coord_test(test_yaml unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_yaml.c LINKS coord_io_yaml)
coord_test(test_config unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_config.c LINKS coord_config)
target_compile_definitions(test_config PRIVATE COORD_SOURCE="${CMAKE_SOURCE_DIR}")
