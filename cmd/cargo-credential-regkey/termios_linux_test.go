// The name of one ioctl, which differs between systems.

package main_test

import "golang.org/x/sys/unix"

const readTermios = unix.TCGETS
