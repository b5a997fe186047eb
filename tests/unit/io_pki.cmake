coord_test(test_pki unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_pki.c ${CMAKE_CURRENT_LIST_DIR}/program.c LINKS coord_io_pki coord_io_json)
target_compile_definitions(test_pki PRIVATE COORDCTL="$<TARGET_FILE:coordctl>")
add_dependencies(test_pki coordctl)
