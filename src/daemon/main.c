/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#ifdef FL_CAPTURE
#include "daemon/daemon.h"
#endif

int main(int argc, char **argv)
{
	/* One line a command; the order is that of `flowlog help`. */
	/* clang-format off */
	static const struct fl_command *const commands[] = {
#ifdef FL_CAPTURE
		&fl_cmd_run,
		&fl_cmd_demo,
#endif
		&fl_cmd_meter,
		&fl_cmd_query,
		&fl_cmd_convert,
		&fl_cmd_tail,
		&fl_cmd_top,
		&fl_cmd_summary,
		&fl_cmd_rejects,
		&fl_cmd_ports,
		&fl_cmd_series,
		&fl_cmd_talks,
		&fl_cmd_conversations,
		&fl_cmd_external,
		&fl_cmd_audit,
		&fl_cmd_interfaces,
		&fl_cmd_inventory,
		&fl_cmd_status,
		&fl_cmd_why,
		&fl_cmd_whatif,
		&fl_cmd_suggest,
#ifdef FL_CAPTURE
		&fl_cmd_detach,
#endif
		&fl_cmd_fields,
		&fl_cmd_help,
		NULL,
	};
	/* clang-format on */

	return fl_cli_main(commands, argc, argv);
}
