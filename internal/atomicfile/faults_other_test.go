//go:build !unix

// Where there is no limit on file size there is no test of a full disk.

package atomicfile_test

const faultVariable = "REGKEY_TEST_FILE_LIMIT"

func runFault(string) int { return 2 }
