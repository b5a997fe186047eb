coord_test(test_json unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_json.c LINKS coord_io_json)
foreach(name test_http_server test_http_server_peers test_http_server_tls)
  coord_test(${name} unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c ${CMAKE_CURRENT_LIST_DIR}/http_fixture.c
             LINKS coord_io_http_server tls_fixture)
endforeach()
coord_test(test_http_call unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_http_call.c LINKS coord_io_http_server)
