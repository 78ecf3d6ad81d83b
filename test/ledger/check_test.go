package ledger

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	eventsv1 "github.com/fairlead/fairlead/proto/gen/fairlead/events/v1"
)

// event is an event of the shop, or of a part of it.
func event(id, kind, subject, sequence string) *eventsv1.CloudEvent {
	data, _ := structpb.NewStruct(map[string]any{"details": map[string]any{}}) // it is well-formed
	if subject != "shop" {
		data, _ = structpb.NewStruct(map[string]any{"details": map[string]any{"aggregate": "shop"}}) // so is this
	}
	return &eventsv1.CloudEvent{Id: id, Source: "//fairlead/deploy", Type: kind, Subject: subject, Sequence: sequence, Data: data}
}

func TestCheckSequences(t *testing.T) {
	tests := map[string]struct {
		events []*eventsv1.CloudEvent
		want   []string
	}{
		"in order":          {[]*eventsv1.CloudEvent{event("a", "created", "shop", "1"), event("b", "created", "shop/blue", "2")}, nil},
		"a gap":             {[]*eventsv1.CloudEvent{event("a", "created", "shop", "1"), event("b", "updated", "shop", "3")}, []string{"sequence 3 after 1"}},
		"no begin":          {[]*eventsv1.CloudEvent{event("a", "created", "shop", "2")}, []string{"sequence 2 after 0"}},
		"out of order":      {[]*eventsv1.CloudEvent{event("a", "created", "shop", "2"), event("b", "updated", "shop", "1")}, []string{"2 after 0", "1 after 2"}},
		"twice":             {[]*eventsv1.CloudEvent{event("a", "created", "shop", "1"), event("a", "created", "shop", "1")}, []string{"is there twice", "1 after 1"}},
		"no number":         {[]*eventsv1.CloudEvent{event("a", "created", "shop", "one")}, []string{"is no number"}},
		"made anew":         {[]*eventsv1.CloudEvent{event("a", "x.deleted", "shop", "1"), event("b", "created", "shop", "1")}, nil},
		"anew, not deleted": {[]*eventsv1.CloudEvent{event("a", "created", "shop", "1"), event("b", "created", "shop", "1")}, []string{"1 after 1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := CheckSequences(test.events)
			if len(got) != len(test.want) {
				t.Fatalf("found %v, want %q", got, test.want)
			}
			for n, want := range test.want {
				if !strings.Contains(got[n].Error(), want) {
					t.Errorf("found %v, want %q", got[n], want)
				}
			}
		})
	}
}

func TestCheckEvents(t *testing.T) {
	const created = "fairlead.auth.workspace.v1.created"
	const updated = "fairlead.deploy.endpoint.v1.updated"
	shop := endpointName("shop")
	tests := map[string]struct {
		events []*eventsv1.CloudEvent
		want   int // problems
	}{
		"all there":           {[]*eventsv1.CloudEvent{{Type: created, Subject: "room"}, {Type: updated, Subject: shop}, {Type: updated, Subject: shop}}, 0},
		"one more that tried": {[]*eventsv1.CloudEvent{{Type: created, Subject: "room"}, {Type: updated, Subject: shop}, {Type: updated, Subject: shop}, {Type: updated, Subject: shop}}, 0},
		"a creation is lost":  {[]*eventsv1.CloudEvent{{Type: updated, Subject: shop}, {Type: updated, Subject: shop}}, 1},
		"a creation is there twice": {[]*eventsv1.CloudEvent{
			{Type: created, Subject: "room"}, {Type: created, Subject: "room"}, {Type: updated, Subject: shop}, {Type: updated, Subject: shop},
		}, 1},
		"an update is lost": {[]*eventsv1.CloudEvent{{Type: created, Subject: "room"}, {Type: updated, Subject: shop}}, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := New(nil)
			l.created = []string{"room"}
			l.marks["shop"] = &counter{tried: 3, acknowledged: 3, acknowledgements: 2}
			if got := l.checkEvents(test.events); len(got) != test.want {
				t.Errorf("found %v, want %d problems", got, test.want)
			}
		})
	}
}

func TestStrange(t *testing.T) {
	l := New(nil)
	for _, err := range []error{
		status.Error(codes.Unavailable, "try again"), status.Error(codes.Aborted, "it has changed"),
		status.Error(codes.Internal, "broken"), errors.New("odd"),
	} {
		if l.note(err, nil) == nil {
			t.Error("the error is swallowed")
		}
	}
	if got := strings.Join(l.Strange(), "; "); got != "Internal: broken; Unknown: odd" {
		t.Errorf("strange are %q", got)
	}
}
