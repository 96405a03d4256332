"use strict";

/* The photos of the gallery; a choice is an event for the server, see sidebar.py and events.js. */

export default function ({ data: [said, photos, chosen], parentElement }) {
  const group = parentElement.querySelector(".gallery");
  const offered = JSON.stringify(photos);
  // Photos that are there stay: the next run of the page may come while one is being clicked.
  if (group.offered !== offered) {
    offerPhotos(group, photos, (index) => report({ name: "photo", photo: photos[index].title }));
    group.offered = offered;
  }
  if (!isOlder(said, "photo")) markPhoto(group, photos.findIndex(({ title }) => title === chosen));
}
