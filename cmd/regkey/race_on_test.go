// With the race detector a registry in this process is ten times as slow.

//go:build race

package main

// sparse is how few of the points of the fault harness are run: one of so many.
const sparse = 25
