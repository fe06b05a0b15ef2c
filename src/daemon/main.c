/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"

int main(int argc, char **argv)
{
	/* One line a command; the order is that of `flowlog help`. */
	static const struct fl_command *const commands[] = {
	    &fl_cmd_meter,
	    &fl_cmd_query,
	    NULL,
	};

	return fl_cli_main(commands, argc, argv);
}
