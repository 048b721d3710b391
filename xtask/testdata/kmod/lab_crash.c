// SPDX-License-Identifier: GPL-2.0
#include <linux/init.h>
#include <linux/module.h>

static int *volatile lab_crash_nothing;

static int __init lab_crash_init(void)
{
	*lab_crash_nothing = 1;
	return 0;
}

module_init(lab_crash_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A module whose bug the kernel reports");
