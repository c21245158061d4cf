# SPDX-License-Identifier: Apache-2.0
# The tests of the cloud leg talk to the cloud simulator over TLS.
list(APPEND router_TEST_LINKS sluice_mock_cloud_support)
