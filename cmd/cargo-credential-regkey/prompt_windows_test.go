// What tests of the prompt need elsewhere; Windows has no controlling terminals.

package main_test

import "syscall"

func withoutTerminal() *syscall.SysProcAttr { return nil }
