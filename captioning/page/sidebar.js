"use strict";

/* On a phone, where the sidebar covers the page, it closes when another photo has been chosen. */

// Below this many pixels Streamlit lays the sidebar over the page.
const NARROW = 768;
const CLOSES = '[data-testid="stSidebar"][data-collapsed="false"] [data-testid="stSidebarCollapseButton"] button';
let known = null;

export default function ({ data: [photo] }) {
  if (known !== null && photo && photo !== known && window.innerWidth <= NARROW) document.querySelector(CLOSES)?.click();
  known = photo || known || "";
}
