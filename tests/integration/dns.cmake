coord_test(test_dns integration SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_dns.c ${CMAKE_CURRENT_LIST_DIR}/dns_servers.c
           ${CMAKE_CURRENT_LIST_DIR}/script_server.c LINKS coord_dns)
