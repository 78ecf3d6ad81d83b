//go:build !unix

package doctor

import "errors"

// freeBytes gives what this user may still write at dir.
func freeBytes(string) (int64, error) { return 0, errors.New("this system is not asked") }
