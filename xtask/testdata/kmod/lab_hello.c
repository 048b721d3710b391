// SPDX-License-Identifier: GPL-2.0
#include <linux/init.h>
#include <linux/module.h>

int lab_base_answer(void);

static int __init lab_hello_init(void)
{
	pr_info("lab_hello: the answer is %d\n", lab_base_answer());
	return 0;
}

static void __exit lab_hello_exit(void)
{
}

module_init(lab_hello_init);
module_exit(lab_hello_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A module that needs another one");
