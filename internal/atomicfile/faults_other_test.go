// Where the limit on file size is missing, or of another type, there is no test of a full disk.

//go:build !linux && !darwin

package atomicfile_test

const faultVariable = "REGKEY_TEST_FILE_LIMIT"

func runFault(string) int { return 2 }
