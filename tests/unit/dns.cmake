coord_test(test_dns_wire unit SOURCES ${CMAKE_CURRENT_LIST_DIR}/test_dns_wire.c LINKS coord_dns coord_io_dns)
