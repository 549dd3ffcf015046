//go:build windows

// It is empty, and lets the compiler accept functions without a body in card_piv.go and open_piv.go. Elsewhere cgo does, and would have the
// C compiler assemble this, which asks for a stack that can be executed.
