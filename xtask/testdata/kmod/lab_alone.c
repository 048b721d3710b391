// SPDX-License-Identifier: GPL-2.0
#include <linux/init.h>
#include <linux/module.h>

static int __init lab_alone_init(void)
{
	return 0;
}

static void __exit lab_alone_exit(void)
{
}

module_init(lab_alone_init);
module_exit(lab_alone_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A module that needs no other");
