coord_test(test_json unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_json.c LINKS coord_io_json)
foreach(name test_http_server test_http_server_peers)
  coord_test(${name} unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c ${CMAKE_CURRENT_LIST_DIR}/http_fixture.c
             LINKS coord_io_http_server)
endforeach()
coord_test(test_http_unix_client unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_http_unix_client.c LINKS coord_io_http_server)
