package traffic

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCovers(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	router := Excuse{From: at(100), To: at(200)}
	replica := Excuse{From: at(100), To: at(200), Endpoint: "shop", Version: "blue"}
	tests := map[string]struct {
		excuse Excuse
		r      Request
		want   bool
	}{
		"cut at the router's kill":            {router, Request{Begin: at(90), End: at(110)}, true},
		"refused while there is no router":    {router, Request{Begin: at(150), End: at(151)}, true},
		"begun before, ended after":           {router, Request{Begin: at(50), End: at(300)}, true},
		"over before the kill":                {router, Request{Begin: at(50), End: at(99)}, false},
		"begun when it listens again":         {router, Request{Begin: at(201), End: at(210)}, false},
		"a router that answers is no excuse":  {router, Request{Begin: at(150), End: at(151), Status: 503}, false},
		"502 of the killed scorer's version":  {replica, Request{Endpoint: "shop", Version: "blue", Begin: at(90), End: at(110), Status: 502}, true},
		"502 of another version":              {replica, Request{Endpoint: "shop", Version: "green", Begin: at(90), End: at(110), Status: 502}, false},
		"502 of another endpoint":             {replica, Request{Endpoint: "till", Version: "blue", Begin: at(90), End: at(110), Status: 502}, false},
		"503 of the killed scorer's version":  {replica, Request{Endpoint: "shop", Version: "blue", Begin: at(90), End: at(110), Status: 503}, false},
		"502 later":                           {replica, Request{Endpoint: "shop", Version: "blue", Begin: at(201), End: at(300), Status: 502}, false},
		"an answer that was cut off":          {replica, Request{Endpoint: "shop", Version: "blue", Begin: at(90), End: at(110)}, true},
		"an answer that was cut off at once":  {replica, Request{Endpoint: "shop", Begin: at(90), End: at(110)}, true},
		"another version's that was cut off":  {replica, Request{Endpoint: "shop", Version: "green", Begin: at(90), End: at(110)}, false},
		"another endpoint's that was cut off": {replica, Request{Endpoint: "till", Begin: at(90), End: at(110)}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.excuse.Covers(test.r); got != test.want {
				t.Errorf("Covers is %v, want %v", got, test.want)
			}
		})
	}
}

func TestAccount(t *testing.T) {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	late := Request{Number: 3, Endpoint: "till", Begin: begin.Add(time.Hour), End: begin.Add(time.Hour), Status: 503, Problem: "no replica"}
	slow := Request{Number: 2, Endpoint: "shop", Version: "blue", Begin: begin, End: begin.Add(time.Second), Status: 200}
	var a Account
	for _, r := range []Request{
		{Number: 0, Endpoint: "shop", Version: "blue", Begin: begin, End: begin.Add(time.Millisecond), Status: 200},
		{Number: 1, Endpoint: "shop", Begin: begin, End: begin, Problem: "EOF"},
		slow, late,
	} {
		a.add(r)
	}
	if a.Sent != 4 || len(a.Failed) != 2 || a.Slowest != slow {
		t.Errorf("the account is %+v", a)
	}
	if diff := cmp.Diff(map[string]int{"shop/blue": 2}, a.Answered); diff != "" {
		t.Errorf("the answers (-want +got):\n%s", diff)
	}
	got := a.Unexcused([]Excuse{{From: begin.Add(-time.Second), To: begin.Add(time.Second)}})
	if diff := cmp.Diff([]Request{late}, got); diff != "" {
		t.Errorf("without an excuse (-want +got):\n%s", diff)
	}
}
