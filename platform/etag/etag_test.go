package etag_test

import (
	"testing"

	"github.com/fairlead/fairlead/platform/apierr"
	"github.com/fairlead/fairlead/platform/etag"
)

func TestCheck(t *testing.T) {
	a, b := etag.Of("uid", 1), etag.Of("uid", 2)
	if a == b || a != etag.Of("uid", 1) {
		t.Fatalf("tags %s and %s", a, b)
	}
	for sent, wantErr := range map[string]bool{"": false, b: false, a: true} {
		err := etag.Check(sent, b)
		if (err != nil) != wantErr {
			t.Errorf("Check(%q) = %v", sent, err)
		}
		if err != nil && apierr.KindOf(err) != apierr.Conflict {
			t.Errorf("kind of %v", err)
		}
	}
}
