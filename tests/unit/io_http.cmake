coord_test(test_json unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_json.c LINKS coord_io_json)
coord_test(test_http_server unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_http_server.c LINKS coord_io_http_server)
