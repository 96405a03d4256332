"use strict";

/* The photos of the gallery; a choice is an event for the server, see sidebar.py and events.js. */

export default function ({ data: [photos, chosen], parentElement }) {
  const group = parentElement.querySelector(".gallery");
  const shows = JSON.stringify(photos);
  // Photos that are there stay: the next run of the page may come while one is being clicked.
  if (group.shows !== shows) {
    offerPhotos(group, photos, (index) => report({ name: "photo", photo: photos[index].title }));
    Object.assign(group, { shows, chosen: null });
  }
  // A run that began before the last click says no more than it said then.
  if (group.chosen !== chosen) markPhoto(group, photos.findIndex(({ title }) => title === chosen));
  group.chosen = chosen;
}
