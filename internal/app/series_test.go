package app

import (
	"errors"
	"math"
	"net/http"
	"testing"
	"time"

	"fairway/internal/api"
	"fairway/internal/series"
)

// Readings are shown with percentiles in the place of counts, and unknown ones as
// nil.
func TestSeriesView(t *testing.T) {
	store, err := series.Open(series.Options{Groups: series.StandardGroups(10), Every: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	at := time.Now().Truncate(time.Minute)
	usage := make([]float64, series.Containers+1)
	usage[series.Limit], usage[series.Containers] = math.NaN(), 5
	traffic := make([]float64, series.Latency+len(series.LatencyBounds())+1)
	traffic[series.Requests], traffic[series.Latency+1] = 10, 10
	for group, values := range map[string][]float64{series.Services: usage, series.Routes: traffic} {
		if err := store.Add(group, at, []series.Reading{{Subject: "shop", Values: values}}); err != nil {
			t.Fatal(err)
		}
	}
	view, query := seriesView{store}, api.SeriesQuery{From: at.Add(-time.Hour), To: at.Add(time.Minute)}
	found, err := view.Query("service", "shop", query)
	if err != nil || len(found.Points) != 1 || found.Points[0].Means[series.Limit] != nil || *found.Points[0].Means[series.Containers] != 5 || len(found.Fields) != len(found.Points[0].Means) {
		t.Errorf("%v: %+v", err, found)
	}
	found, err = view.Query("route", "shop", query)
	if err != nil || len(found.Points) != 1 || len(found.Fields) != 5 || found.Fields[4].Name != "p99" || found.Points[0].Means[4] == nil || len(found.Points[0].Peaks) != 5 {
		t.Errorf("%v: %+v", err, found)
	}
	var refused *api.Error
	if _, err := view.Query("weather", "shop", query); !errors.As(err, &refused) || refused.Status != http.StatusNotFound {
		t.Errorf("error %v", err)
	}
}
