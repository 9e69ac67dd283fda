/* postern_main.c - the administrator's command. All of it is in client.c, where tests reach it. */
#include "sbc/ctl/ctl.h"

int main(int argc, char **argv)
{
	return ctl_client_run(argc, argv);
}
