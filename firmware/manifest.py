# What every birthkey firmware has frozen in; a board's own manifest includes this.
package("birthkey")
module("application.py")
module("_boot.py", base_path="frozen")
module("main.py", base_path="frozen")
require("senml")
