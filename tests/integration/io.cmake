coord_test(test_child integration SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_child.c LINKS coord_io_child)
target_compile_definitions(test_child PRIVATE SUPERVISE_PATH="$<TARGET_FILE:coord-supervise>")
add_dependencies(test_child coord-supervise)
coord_test(test_net integration SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_net.c ${CMAKE_CURRENT_LIST_DIR}/script_server.c
           LINKS coord_io_net)
coord_test(test_probe_net integration SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_probe_net.c ${CMAKE_CURRENT_LIST_DIR}/script_server.c
           LINKS coord_probe)
