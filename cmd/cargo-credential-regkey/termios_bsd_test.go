// The name of one ioctl, which differs between systems.

//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package main_test

import "golang.org/x/sys/unix"

const readTermios = unix.TIOCGETA
