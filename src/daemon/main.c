/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

int main(void)
{
	return 2;
}
