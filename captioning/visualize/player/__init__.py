"""The step-through: one piece of HTML, CSS and JavaScript, shown by the app and by the HTML files that it exports."""
