// SPDX-License-Identifier: GPL-2.0
#include <linux/init.h>
#include <linux/module.h>

int lab_base_answer(void);

int lab_base_answer(void)
{
	return 42;
}
EXPORT_SYMBOL_GPL(lab_base_answer);

static int __init lab_base_init(void)
{
	return 0;
}

static void __exit lab_base_exit(void)
{
}

module_init(lab_base_init);
module_exit(lab_base_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A module that another one needs");
