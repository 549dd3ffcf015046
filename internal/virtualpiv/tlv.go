// BER-TLV as SP 800-73-4 uses it: tags of up to three bytes, definite lengths.

package virtualpiv

// tlv is one tagged value.
type tlv struct {
	tag   uint32
	value []byte
}

// parseTLV reads a whole run of values; ok is false when it is malformed.
func parseTLV(b []byte) (run []tlv, ok bool) {
	for len(b) > 0 {
		tag := uint32(b[0])
		more := b[0]&0x1f == 0x1f
		b = b[1:]
		for more {
			if len(b) == 0 || tag > 0xffff {
				return nil, false
			}
			tag = tag<<8 | uint32(b[0])
			more = b[0]&0x80 != 0
			b = b[1:]
		}
		n, rest, ok := parseLength(b)
		if !ok || n > len(rest) {
			return nil, false
		}
		run = append(run, tlv{tag, rest[:n]})
		b = rest[n:]
	}
	return run, true
}

// parseLength reads a length of one to three bytes.
func parseLength(b []byte) (n int, rest []byte, ok bool) {
	switch {
	case len(b) >= 1 && b[0] < 0x80:
		return int(b[0]), b[1:], true
	case len(b) >= 2 && b[0] == 0x81:
		return int(b[1]), b[2:], true
	case len(b) >= 3 && b[0] == 0x82:
		return int(b[1])<<8 | int(b[2]), b[3:], true
	}
	return 0, nil, false
}

// find returns the first value with a tag.
func find(run []tlv, tag uint32) (value []byte, ok bool) {
	for _, t := range run {
		if t.tag == tag {
			return t.value, true
		}
	}
	return nil, false
}

// within parses b as one value with the given tag, and that value as a run.
func within(b []byte, tag uint32) (run []tlv, ok bool) {
	outer, ok := parseTLV(b)
	if !ok || len(outer) != 1 || outer[0].tag != tag {
		return nil, false
	}
	return parseTLV(outer[0].value)
}

// appendTLV appends one tagged value.
func appendTLV(b []byte, tag uint32, value []byte) []byte {
	for shift := 16; shift >= 0; shift -= 8 {
		if part := tag >> shift; part != 0 {
			b = append(b, byte(part))
		}
	}
	switch n := len(value); {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, value...)
}
