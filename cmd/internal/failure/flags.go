package failure

import (
	"errors"

	"github.com/fairlead/fairlead/platform/apierr"
)

// flagsError is an error of a request that the user wrote as flags.
type flagsError struct {
	error
	flags map[string]string
}

// Unwrap gives the error itself.
func (e *flagsError) Unwrap() error { return e.error }

// InFlags gives err so that what is wrong with a field of the request is shown
// as wrong with the flag that the user gave for it. Fields without a flag stay.
func InFlags(err error, flags map[string]string) error {
	if err == nil {
		return nil
	}
	return &flagsError{error: err, flags: flags}
}

// asGiven names the violations of err by what the user gave.
func asGiven(err error, violations []apierr.Violation) []apierr.Violation {
	given, ok := errors.AsType[*flagsError](err)
	if !ok {
		return violations
	}
	named := make([]apierr.Violation, len(violations))
	for i, v := range violations {
		if flag := given.flags[v.Field]; flag != "" {
			v.Field = flag
		}
		named[i] = v
	}
	return named
}
