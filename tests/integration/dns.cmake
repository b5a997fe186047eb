foreach(name test_dns test_authority_check)
  coord_test(${name} integration SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.c ${CMAKE_CURRENT_LIST_DIR}/dns_servers.c
             ${CMAKE_CURRENT_LIST_DIR}/script_server.c LINKS coord_dns)
endforeach()
